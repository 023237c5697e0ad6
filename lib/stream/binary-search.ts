/**
 * The first number from `from` on, and below `end`, that is not before what is looked for; `end` if there is none.
 *
 * @param isBefore - true up to some number, and false from there on
 */
export function binarySearch(from: number, end: number, isBefore: (n: number) => boolean): number {
  let low = from;
  let high = end;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    if (isBefore(middle)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
