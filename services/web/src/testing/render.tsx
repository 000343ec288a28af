import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render } from "@testing-library/react";
import type { ReactElement } from "react";
import { MemoryRouter } from "react-router";
import type { Scope, WhoAmI } from "@/api/types";
import { useSession } from "@/state/session";

/** Draw a component as it is drawn in the app, at an address. */
export function draw(element: ReactElement, at = "/") {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  return render(
    <MantineProvider env="test" withCssVariables={false} withGlobalClasses={false}>
      <QueryClientProvider client={queries}>
        <MemoryRouter initialEntries={[at]}>{element}</MemoryRouter>
      </QueryClientProvider>
    </MantineProvider>,
  );
}

/** Be signed in, with these scopes. */
export function signedIn(...scopes: Scope[]): void {
  const who: WhoAmI = {
    subject: "researcher",
    scopes,
    expires_at: "2100-01-01T00:00:00Z",
    version: "1.0.0",
  };
  useSession.setState({ status: "signed-in", token: "a.b.c", who });
}
