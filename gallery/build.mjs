// Bundles the page into functions/gallery/page: a few text files, the same bytes on every machine.
import { build } from "esbuild";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "..", "functions", "gallery", "page");

const options = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  target: ["es2022", "chrome111", "firefox115", "safari16.4"],
  legalComments: "none",
  charset: "utf8",
  outdir: "out",
  write: false,
};
const { outputFiles } = await build({
  ...options,
  entryPoints: { gallery: "src/main.tsx" },
  format: "esm",
  splitting: true,
  jsx: "automatic",
  jsxImportSource: "preact",
  // Named by what they hold, so that a browser may keep them for ever; wherever the packages lie.
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  preserveSymlinks: true,
});
const early = await build({ ...options, entryPoints: ["src/head.ts"], format: "iife" });

await mkdir(target, { recursive: true });
for (const name of await readdir(target)) await rm(join(target, name), { recursive: true });

const names = outputFiles.map((file) => basename(file.path));
const named = (pattern) => `gallery/${names.find((name) => pattern.test(name))}`;
for (const file of outputFiles) await writeFile(join(target, basename(file.path)), file.contents);
const page = await readFile(join(here, "src", "index.html"), "utf8");
await writeFile(
  join(target, "index.html"),
  page
    .replace("{{early}}", () => early.outputFiles[0].text.trim())
    .replace("{{script}}", named(/^gallery-.*\.js$/))
    .replace("{{viewer}}", named(/^photoswipe.*\.js$/))
    .replace("{{style}}", named(/\.css$/)),
);
