/** Being connected for as long as somebody is signed in. */
import { forgetAll } from "@/state/entities";
import { useSession } from "@/state/session";
import { LiveConnection } from "./connection";

/** Connect whoever has a token, from now on and for as long as the page is open. */
export function followSession(): void {
  let heard: string | null = null;
  let connection: LiveConnection | null = null;
  useSession.subscribe(({ status, token }) => {
    // While it is still asked whether the token is good, the connection is told so just as well.
    const good = status === "signed-out" ? null : token;
    if (good === heard) return;
    heard = good;
    if (connection) {
      connection.close();
      forgetAll();
    }
    connection = good === null ? null : new LiveConnection(good);
  });
}
