// Not here, for it loads every client library of Redis: `Fleet` of `fleet.ts`, and what it consists of.
export { closeAfterwards, closeFrom, closed, openCount, type Closable } from './cleanup.js';
export { freePort } from './free-port.js';
export { LocalServer } from './local-server.js';
export { allReceived, from, Member, numbers, type MemberOptions } from './member.js';
export { startMemberProcess, type MemberProcessOptions } from './member-process.js';
export { NodeProcess, type ChildEvent, type Exit, type NodeProcessOptions } from './node-process.js';
export { RedisCluster, type RedisClusterOptions } from './redis-cluster.js';
export { RedisSentinel, type RedisSentinelOptions } from './redis-sentinel.js';
export { DURABLE, RedisServer, type ClientInfo, type RedisServerOptions } from './redis-server.js';
export { RespClient, RespError, type Reply } from './resp-client.js';
export { RespProxy, type Rewrite, type Rewriting } from './resp-proxy.js';
export { servers } from './servers.js';
export { TcpProxy, type Direction } from './tcp-proxy.js';
export { until, type UntilOptions } from './until.js';
