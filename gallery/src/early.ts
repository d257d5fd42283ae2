import { askEarly } from "./api/opening";

askEarly();
