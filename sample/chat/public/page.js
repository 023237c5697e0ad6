import { Chat } from './chat.js';
import { Cluster } from './cluster.js';

const cluster = new Cluster({ onMove: (number) => chat.moveTo(number) });
const chat = new Chat({ onNode: (node) => cluster.follow(node), onLeft: () => cluster.leave() });
