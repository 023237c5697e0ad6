import { writeFile } from 'node:fs/promises';
import { Session } from 'node:inspector/promises';

/** Methods of a process that can be profiled: from `profile` to `profiled`, which writes a file. */
export function profiling() {
  let finish: Awaited<ReturnType<typeof recordProfile>>;
  return {
    profile: async () => void (finish = await recordProfile()),
    profiled: (file: string) => finish(file),
  };
}

/** Records where this process spends its time, until the function that is returned is called with a file's name. */
async function recordProfile(): Promise<(file: string) => Promise<void>> {
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
