import { expect, test } from '@jest/globals';
import { runBench } from './bench.js';
import { tabulate, toMarkdown } from './report.js';
import { ADAPTERS, SCENARIOS, takesPart } from './scenarios.js';

test('the bench measures every adapter in every scenario it takes part in', async () => {
  const tables = tabulate(await runBench({ rounds: 1, seconds: 0.05 }));

  expect(tables.map(({ name }) => name)).toEqual(SCENARIOS.map(({ name }) => name));
  for (const [i, scenario] of SCENARIOS.entries()) {
    const { rows, ratios } = tables[i]!;
    expect(rows.map(({ adapter }) => adapter)).toEqual(ADAPTERS.filter((adapter) => takesPart(adapter, scenario)));
    for (const { medians, sent } of rows) {
      expect(sent).toBeGreaterThan(0);
      expect(medians.publisher).toBeGreaterThan(0);
      expect(medians.recipient ?? medians.bystander).toBeGreaterThan(0);
      expect(scenario.rate === undefined ? medians.perSecond : medians.p99).toBeGreaterThan(0);
    }
    expect(ratios.publisher).toBeGreaterThan(0);
  }
  expect(toMarkdown(tables).match(/^### /gm)).toHaveLength(SCENARIOS.length);
}, 120_000);
