import { swcOptions } from '../scripts/swc-options.mjs';

export default {
  rootDir: '..',
  roots: ['<rootDir>/test', '<rootDir>/sample'],
  testMatch: ['**/*.spec.ts'],
  // `npm run test:packages` runs these: they need a registry.
  testPathIgnorePatterns: ['/test/package/'],
  modulePathIgnorePatterns: ['/test/package/consumers/'],
  testEnvironment: '<rootDir>/test/kit/environment.mjs',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': ['@swc/jest', { ...swcOptions, swcrc: false }] },
  moduleNameMapper: {
    '^nestjs-redis-streams-adapter$': '<rootDir>/lib/index.ts',
    '^nestjs-redis-streams-adapter/(adapter|driver|emitter|opentelemetry)$': '<rootDir>/lib/$1/index.ts',
    // Sources name each other as their compiled output will: `./x.js`.
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  moduleFileExtensions: ['js', 'ts', 'mjs', 'cjs', 'json', 'node'],
  setupFilesAfterEnv: ['<rootDir>/test/kit/setup.ts'],
  testTimeout: 30_000,
  maxWorkers: 3, // of two processors: tests wait a good part of their time
  workerIdleMemoryLimit: '400MB',
  watchman: false,
};
