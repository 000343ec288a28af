/** What an access token says of itself. */
import type { Scope, WhoAmI } from "./types";

/**
 * Return whose token it is and what it allows, or null where it does not say.
 *
 * Nothing of it is proven here: the gateway knows whether the token is good, and which scopes its
 * scopes imply.
 */
export function claimsOf(token: string): Pick<WhoAmI, "subject" | "scopes"> | null {
  const body = token.split(".")[1] ?? "";
  try {
    const bytes = Uint8Array.from(atob(body.replaceAll("-", "+").replaceAll("_", "/")), (letter) =>
      letter.charCodeAt(0),
    );
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof claims !== "object" || claims === null) return null;
    const { sub, scopes } = claims as { sub?: unknown; scopes?: unknown };
    if (typeof sub !== "string" || !Array.isArray(scopes)) return null;
    return {
      subject: sub,
      scopes: scopes.filter((each): each is Scope => typeof each === "string"),
    };
  } catch {
    return null;
  }
}
