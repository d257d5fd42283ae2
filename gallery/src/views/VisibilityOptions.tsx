import { words } from "../words";

export const VISIBILITIES = ["private", "shared", "public"] as const;

/** Each with what it means. */
export function VisibilityOptions() {
  return (
    <>
      {VISIBILITIES.map((each) => (
        <option key={each} value={each}>
          {words.visibility[each]}: {words.visibility.explained[each]}
        </option>
      ))}
    </>
  );
}
