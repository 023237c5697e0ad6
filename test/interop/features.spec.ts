import { describeFeatures } from '../e2e/features.js';

// Nodes of both kinds in one cluster, each feature in both directions. With several streams, only namespaces whose hash
// is not negative are used: the reference writes the others to a stream that nobody reads, itself not excepted. With recovery
// the ordering is the one that the migration guide has for such a cluster: the reference takes only ids for offsets.
const row = { client: 'ioredis 6', server: 'Redis', topology: 'single' } as const;
const mostlyOurs = ['ours', 'reference', 'ours'] as const;
const mostlyReference = ['reference', 'ours', 'reference'] as const;

describeFeatures({ ...row, nodes: mostlyOurs });
describeFeatures({ ...row, nodes: mostlyReference, recovery: true, options: { ordering: 'log' } });
describeFeatures({ ...row, nodes: mostlyOurs, recovery: true, options: { streamCount: 3, ordering: 'log' } });
describeFeatures({
  ...row,
  nodes: mostlyReference,
  recovery: true,
  options: { streamCount: 3, useShardedPubSub: true, ordering: 'log' },
});
describeFeatures({
  ...row,
  topology: 'cluster',
  nodes: mostlyOurs,
  recovery: true,
  options: { streamCount: 3, ordering: 'log' },
});
