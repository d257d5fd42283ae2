import { render } from "preact";
import "photoswipe/style.css";
import { mayReturn, presence, renew } from "./api/http";
import { inWords } from "./api/problem";
import * as library from "./state/library";
import * as notices from "./state/notices";
import * as navigation from "./state/navigation";
import * as selection from "./state/selection";
import * as sequencing from "./state/sequencing";
import * as uploads from "./state/uploads";
import "./styles/gallery.css";
import { App } from "./views/App";
import * as focus from "./views/focus";
import * as viewer from "./views/viewer";

navigation.start();
library.start();
selection.start();
viewer.start();
sequencing.start();
notices.start();
uploads.start();
focus.start();
render(<App />, document.getElementById("gallery")!);
if (mayReturn()) {
  renew().catch((error: unknown) => {
    notices.complain(inWords(error));
    presence.value = "out";
  });
} else {
  presence.value = "out";
}
