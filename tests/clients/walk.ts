// A walk through the API with a client made of its OpenAPI document: node walk.ts API_URL PICTURE
import { openAsBlob } from "node:fs";

import createClient from "openapi-fetch";

import type { components, operations, paths } from "./api.d.ts";

type Image = components["schemas"]["ImageView"];
type Problem = components["schemas"]["Problem"] | components["schemas"]["InvalidFields"];
type Picture = operations["uploadImage"]["requestBody"]["content"]["multipart/form-data"];

class Refused extends Error {
  readonly problem: Problem | undefined;

  constructor(problem: Problem | undefined) {
    super(JSON.stringify(problem));
    this.problem = problem;
  }
}

function answered<Body>(answer: { data?: Body; error?: Problem | undefined }): Body {
  if (answer.data === undefined) throw new Refused(answer.error);
  return answer.data;
}

async function codeOf(refused: Promise<unknown>): Promise<Problem["code"] | undefined> {
  try {
    await refused;
  } catch (error) {
    if (error instanceof Refused) return error.problem?.code;
    throw error;
  }
  return undefined;
}

function expect<Value>(found: Value, expected: Value): void {
  if (found !== expected) throw new Error(`${String(found)} is not ${String(expected)}`);
}

const [, , baseUrl = "", picturePath = ""] = process.argv;
const client = createClient<paths>({ baseUrl });
const account = { username: `walker-${crypto.randomUUID()}`, password: "analytical!engine" };

answered(await client.POST("/auth/register", { body: account }));
const token = answered(await client.POST("/auth/login", { body: account }));
const headers: Record<string, string> = { Authorization: `Bearer ${token.access_token}` };

async function getImage(image_id: number): Promise<Image> {
  return answered(await client.GET("/image/{image_id}", { params: { path: { image_id } }, headers }));
}

async function settled(id: number): Promise<Image> {
  for (;;) {
    const image = await getImage(id);
    if (image.status !== "processing") return image;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const file = await openAsBlob(picturePath);
const sent: Omit<Picture, "image"> = { title: "Lift-off", visibility: "private" };
const accepted = answered(
  await client.POST("/image/upload_image", {
    // Generators know a file as a string of bytes.
    body: { ...sent, image: "" },
    bodySerializer: () => {
      const form = new FormData();
      for (const [name, value] of Object.entries(sent)) form.set(name, String(value));
      form.set("image", file, "rocket.jpg");
      return form;
    },
    params: { header: { "Idempotency-Key": crypto.randomUUID() } },
    headers,
  }),
);
const image = await settled(accepted.id);
expect<Image["status"]>(image.status, "ready");
expect(image.title, "Lift-off");

const list = await client.GET("/image/get_all_images", {
  params: { query: { limit: 1, owner: "me", status: "ready" } },
  headers,
});
expect(answered(list)[0]?.id, image.id);
expect(list.response.headers.get("X-Total-Count"), "1");

const path = { image_id: image.id };
answered(
  await client.PUT("/image/update/{image_id}", {
    params: { path },
    body: { resolution: "320x200", fit: "contain" },
    headers,
  }),
);
expect((await settled(image.id)).resolution, "320x200");

answered(await client.DELETE("/image/delete/{image_id}", { params: { path }, headers }));
expect<Problem["code"] | undefined>(await codeOf(getImage(image.id)), "image_not_found");
console.log("walked");
