import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isSameText, RecurringText, toWholeNumber } from '../../lib/wire/text.js';

const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('', 'uid', '/', '/naïve', '☃'));

describe('text in replies of Redis', () => {
  test('is the same as a string and as its bytes', () => {
    fc.assert(
      fc.property(text, text, (given, known) => {
        expect(isSameText(given, known)).toBe(given === known);
        const bytes = Buffer.from(given);
        const isAscii = bytes.length === given.length;
        expect(isSameText(bytes, known)).toBe(isAscii && given === known);
      }),
    );
  });

  test('is not taken for other text because its bytes are the numbers of that text’s characters', () => {
    expect(isSameText(Buffer.from([0xe9]), 'é')).toBe(false);
  });

  test('recurs as the same string, whatever comes between', () => {
    fc.assert(
      fc.property(fc.array(text), (texts) => {
        const recurring = new RecurringText();
        for (const one of texts) {
          expect(recurring.stringOf(Buffer.from(one))).toBe(Buffer.from(one).toString());
        }
      }),
    );
  });

  test('is a whole number only if it has digits and nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.nat().map(String), fc.constantFrom('', '-1', '1.5', '1e3', ' 1', '٣'), text), (given) => {
        const expected = /^[0-9]+$/.test(given) ? Number(given) : NaN;
        expect(toWholeNumber(given)).toBe(expected);
        expect(toWholeNumber(Buffer.from(given))).toBe(expected);
      }),
    );
  });
});
