// A line for each finding of Redocly's and Spectral's rules in an OpenAPI or AsyncAPI document:
//   node lint.mjs DOCUMENT
import { readFileSync } from "node:fs";

import { createConfig, lintFromString } from "@redocly/openapi-core";
import spectralCore from "@stoplight/spectral-core";
import parsers from "@stoplight/spectral-parsers";
import rulesets from "@stoplight/spectral-rulesets";

const [path] = process.argv.slice(2);
const source = readFileSync(path, "utf8");
const isAsyncApi = source.startsWith("asyncapi:");

const redocly = await createConfig({
  extends: ["recommended-strict"],
  rules: {
    // The contract's paths; API Gateway prefers the one whose words match.
    "no-ambiguous-paths": "off",
    // What is downloaded lies elsewhere: such an operation answers 302.
    "operation-2xx-response": "off",
  },
});
for (const found of await lintFromString({ source, absoluteRef: path, config: redocly })) {
  console.log(`redocly ${found.ruleId} ${found.location[0]?.pointer}: ${found.message}`);
}

const spectral = new spectralCore.Spectral();
spectral.setRuleset({
  extends: [[isAsyncApi ? rulesets.asyncapi : rulesets.oas, "all"]],
  // Whoever deploys the API is to be asked; OpenAPI's licence has its SPDX identifier instead.
  rules: isAsyncApi
    ? { "asyncapi-info-contact-properties": "off" }
    : { "contact-properties": "off", "license-url": "off" },
});
const parser = isAsyncApi ? parsers.Yaml : parsers.Json;
for (const found of await spectral.run(new spectralCore.Document(source, parser, path))) {
  console.log(`spectral ${found.code} ${found.path.join("/")}: ${found.message}`);
}
