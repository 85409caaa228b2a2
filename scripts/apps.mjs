// `npm run clients [-- NAME… --scenario TEXT]`: real programs at their default settings in front of
// a simulated gateway, one call of a user in each scenario. Prints what each user sees and how many
// runs the gateway started. Fails where one call is more than one run.

import { parseArgs } from "node:util";
import { buildWorker } from "./build.mjs";
import { runCommand } from "./command.mjs";
import { buildNative } from "./native.mjs";

import { allOrFirstFailure } from "./setup.mjs";
import { Failure, step } from "./steps.mjs";

async function main() {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { scenario: { type: "string" } },
  });
  const env = await buildWorker();
  // The programs run with the right Node.
  process.env.PATH = env.PATH;
  await buildNative();
  // Uses npm packages, which are there only now.
  const { APPS } = await import("../tests/clients/apps/apps.mjs");
  const { SCENARIOS, callOnce, startFronts } = await import("../tests/clients/apps/calls.mjs");
  const unknown = positionals.find((name) => !APPS.some((app) => isNamed(app, name)));
  if (unknown !== undefined)
    throw new Failure(
      `The client '${unknown}' does not exist; choose from ${APPS.map(({ name }) => `'${name}'`).join(", ")}.`,
    );
  const apps = APPS.filter(
    (app) => positionals.length === 0 || positionals.some((name) => isNamed(app, name)),
  );
  const scenarios = SCENARIOS.filter(({ name }) => name.includes(values.scenario ?? ""));
  for (const app of apps) await app.install();

  // At once, because they wait more than they compute: each has a gateway and a Worker of its own.
  const rowsOfApps = await allOrFirstFailure(
    apps.map(async (app) => {
      const fronts = await startFronts();
      const rows = [];
      try {
        await step(`${app.name} ${app.version}`, async (onLine) => {
          for (const scenario of scenarios) {
            onLine(scenario.name);
            rows.push({ app, scenario, ...(await callOnce(app, scenario, fronts)) });
          }
        });
      } finally {
        await fronts.stop();
      }
      return rows;
    }),
  );
  const rows = rowsOfApps.flat();
  console.log(table(rows));
  const problems = rows.flatMap(problemsOf);
  if (problems.length > 0)
    throw new Failure(problems.join("\n"), {
      fix: "see core/src/openai/error/phase.rs for the answers that each client takes as final.",
    });
}

/** `async-openai` names both of its forms. */
const isNamed = ({ name }, wanted) => name === wanted || name.startsWith(`${wanted},`);

function problemsOf({ app, scenario, runs, isAnswer }) {
  const where = `${app.name}, ${scenario.name}`;
  return [
    runs > 1 && `${where}: ${runs} runs for one call`,
    scenario.answers && !(isAnswer && runs === 1) && `${where}: no answer`,
  ].filter(Boolean);
}

function table(rows) {
  const head = ["client", "scenario", "runs", "requests", "end", "the user sees"];
  const cells = rows.map(({ app, scenario, runs, requests, end, shown }) =>
    [`${app.name} ${app.version}`, scenario.name, runs, requests, end, shown].map(String),
  );
  const widths = head.map((name, column) =>
    Math.max(name.length, ...cells.map((row) => row[column].length)),
  );
  const line = (row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column])))
      .join("  ");
  return [head, ...cells].map(line).join("\n");
}

await runCommand("Clients", main);
