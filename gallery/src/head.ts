import { askEarly } from "./api/prefetch";

askEarly();
