/**
 * What a promise resolves to, or undefined if it does not settle within so many milliseconds.
 *
 * @throws what the promise is rejected with in that time; a later rejection is ignored
 */
export async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, milliseconds, undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * What a promise resolves to.
 *
 * @throws what it is rejected with; `late` if it does not settle within so many milliseconds
 */
export async function withinOr<T>(milliseconds: number, promise: Promise<T>, late: Error): Promise<T> {
  const outcome = await within(
    milliseconds,
    promise.then((value) => ({ value })),
  );
  if (!outcome) {
    throw late;
  }
  return outcome.value;
}
