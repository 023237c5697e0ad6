import main from '../jest.config.js';

/** The tests that install the package as its users do. They need a registry, so `npm test` leaves them out. */
export default {
  ...main,
  rootDir: '../..',
  roots: ['<rootDir>/test/package'],
  testPathIgnorePatterns: ['/consumers/'],
  modulePathIgnorePatterns: ['/consumers/'],
  globalSetup: '<rootDir>/test/package/pack.mjs',
  // An installation takes what the registry takes.
  testTimeout: 240_000,
};
