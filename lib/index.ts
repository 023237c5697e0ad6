export * from './adapter/index.js';
export * from './nest/index.js';
