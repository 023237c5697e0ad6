import { NestApplicationContext, type ModulesContainer } from '@nestjs/core';

/** What belongs to an application and must not outlive a failure of it. */
export interface Closable {
  close(): Promise<unknown>;
}

type Phase = (this: App, ...args: unknown[]) => Promise<unknown>;
type App = { container?: { getModules?(): ModulesContainer } } & Record<string, Phase | undefined>;

/** The parts of an application's life that can fail because of other providers' hooks, or of servers that do not close. */
const PHASES = [
  'callBootstrapHook',
  'callDestroyHook',
  'callBeforeShutdownHook',
  'dispose',
  'callShutdownHook',
] as const;

const closables = new WeakMap<ModulesContainer, Set<Closable>>();
const guarded = new WeakSet<object>();
let isInstalled = false;

/**
 * Has something closed when its application fails: while it starts, for then Nest calls no hook any more, and while it
 * shuts down, for there Nest (11, and early releases of 12) stops at the first hook that throws. The failure itself goes
 * on as ever, after that.
 *
 * Nest offers no place for this, and a provider does not know its application. So the first phase of every application is
 * wrapped, and the further ones of those that use this package.
 */
export function closeOnFailure(modules: ModulesContainer, closable: Closable): void {
  const all = closables.get(modules) ?? new Set();
  closables.set(modules, all.add(closable));
  install();
}

function install(): void {
  const prototype = NestApplicationContext.prototype as unknown as App;
  const { callInitHook } = prototype;
  if (isInstalled || typeof callInitHook !== 'function') {
    return;
  }
  isInstalled = true;
  prototype['callInitHook'] = function (...args) {
    const mine = closables.get(this.container?.getModules?.() as ModulesContainer);
    if (!mine) {
      return callInitHook.apply(this, args);
    }
    guard(this, mine);
    return closingOnFailure(mine, () => callInitHook.apply(this, args));
  };
}

function guard(app: App, mine: Set<Closable>): void {
  if (guarded.has(app)) {
    return;
  }
  guarded.add(app);
  for (const phase of PHASES) {
    const original = app[phase];
    if (typeof original === 'function') {
      app[phase] = (...args) => closingOnFailure(mine, () => original.apply(app, args));
    }
  }
}

async function closingOnFailure<T>(mine: Set<Closable>, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    await Promise.allSettled([...mine].map((closable) => closable.close()));
    throw error;
  }
}
