// Bundles the page into functions/gallery/page: three text files, the same bytes on every machine.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "..", "functions", "gallery", "page");

const { outputFiles } = await build({
  absWorkingDir: here,
  entryPoints: { gallery: "src/main.tsx" },
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome111", "firefox115", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  charset: "utf8",
  outdir: "out",
  write: false,
});

await mkdir(target, { recursive: true });
for (const name of await readdir(target)) await rm(join(target, name), { recursive: true });

// Named by what they hold, so that a browser may keep them for ever.
const names = {};
for (const file of outputFiles) {
  const extension = file.path.endsWith(".css") ? "css" : "js";
  const digest = createHash("sha256").update(file.contents).digest("hex").slice(0, 16);
  names[extension] = `gallery-${digest}.${extension}`;
  await writeFile(join(target, names[extension]), file.contents);
}
const page = await readFile(join(here, "src", "index.html"), "utf8");
await writeFile(
  join(target, "index.html"),
  page.replace("{{script}}", `gallery/${names.js}`).replace("{{style}}", `gallery/${names.css}`),
);
