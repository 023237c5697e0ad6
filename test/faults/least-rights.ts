/** The rules of `docs/security.md`: the least rights that a node needs, with default names. */
export const LEAST_RIGHTS = [
  'resetkeys',
  '~socket.io',
  '~sio:session:*',
  'resetchannels',
  '&socket.io#*',
  '-@all',
  ...['+hello', '+auth', '+ping', '+info', '+client|setname'],
  ...['+xadd', '+xread', '+xrange', '+xrevrange', '+xinfo|stream', '+exists', '+multi', '+exec'],
  ...['+publish', '+subscribe', '+unsubscribe', '+pubsub|numsub'],
  ...['+set', '+get', '+del', '+hset', '+hget', '+hmget', '+hdel', '+pexpire', '+zadd', '+zrange', '+zrem', '+zremrangebyscore'],
];
