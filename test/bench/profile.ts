import { writeFile } from 'node:fs/promises';
import { Session } from 'node:inspector/promises';

/** Records where this process spends its time, until the function that is returned is called with a file's name. */
export async function recordProfile(): Promise<(file: string) => Promise<void>> {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 200 });
  await session.post('Profiler.start');
  return async (file) => {
    const { profile } = await session.post('Profiler.stop');
    session.disconnect();
    await writeFile(file, JSON.stringify(profile));
  };
}
