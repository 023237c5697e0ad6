import { NestApplication, NestApplicationContext, type ModulesContainer } from '@nestjs/core';

/** What belongs to an application and must not outlive a failure of it. */
export interface Closable {
  close(): Promise<unknown>;
}

type Phase = (this: App, ...args: unknown[]) => Promise<unknown>;
type App = { container?: { getModules?(): ModulesContainer } } & Record<string, Phase | undefined>;

/** The parts of an application's life that can fail because of other providers' hooks, or of servers that do not close. */
const PHASES = ['callBootstrapHook', 'callDestroyHook', 'callBeforeShutdownHook', 'dispose'] as const;

const closables = new WeakMap<ModulesContainer, Set<Closable>>();
const guarded = new WeakSet<object>();
let isInstalled = false;
/** Whether applications close what is theirs after all hooks. */
let areHooksFollowed = false;

/**
 * Has something closed with its application: after all hooks, for those of other modules may still emit, whichever was
 * imported first; and when the application fails. While it starts, Nest calls no hook any more then, and while it shuts down,
 * Nest (11, and early releases of 12) stops at the first hook that throws. The failure itself goes on as ever, after that.
 *
 * Nest offers no place for this, and a provider does not know its application. So the first and the last phase of every
 * application are wrapped, and the further ones of those that use this package.
 */
export function closeWithApplication(modules: ModulesContainer, closable: Closable): void {
  const all = closables.get(modules) ?? new Set();
  closables.set(modules, all.add(closable));
  install();
}

/** To be called by the shutdown hook of such a closable: closes it if nothing does that later. */
export async function closeUnlessClosedLater(closable: Closable): Promise<void> {
  if (!areHooksFollowed) {
    await closable.close();
  }
}

function install(): void {
  if (isInstalled) {
    return;
  }
  isInstalled = true;
  const context = NestApplicationContext.prototype as unknown as App;
  // Servers, middleware and routes are made before the first hook is called.
  wrap(NestApplication.prototype as unknown as App, 'init', closingOnFailure);
  wrap(context, 'callInitHook', (mine, run, app) => {
    guard(app, mine);
    return closingOnFailure(mine, run);
  });
  areHooksFollowed = wrap(context, 'callShutdownHook', async (mine, run) => {
    const result = await closingOnFailure(mine, run);
    await Promise.all([...mine].map((closable) => closable.close()));
    return result;
  });
}

type Wrapper = (mine: Set<Closable>, run: () => Promise<unknown>, app: App) => Promise<unknown>;

/** Wraps a phase of all applications that use this package. Returns whether Nest has such a phase: it is not part of its API. */
function wrap(prototype: App, phase: string, wrapper: Wrapper): boolean {
  const original = prototype[phase];
  if (typeof original !== 'function') {
    return false;
  }
  prototype[phase] = function (...args) {
    const mine = closables.get(this.container?.getModules?.() as ModulesContainer);
    const run = (): Promise<unknown> => original.apply(this, args);
    return mine ? wrapper(mine, run, this) : run();
  };
  return true;
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
