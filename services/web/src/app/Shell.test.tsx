import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { useSession } from "@/state/session";
import { expectAccessible } from "@/testing/axe";
import { draw, signedIn } from "@/testing/render";
import { Shell } from "./Shell";

const user = userEvent.setup({ delay: null });

beforeEach(() => signedIn("model:read"));

test("the account's menu says who is signed in and as what, without a barrier", async () => {
  draw(<Shell />);
  await user.click(screen.getByRole("button", { name: "Account: researcher" }));
  const menu = await screen.findByRole("menu");
  expect(menu).toHaveTextContent("Signed in as researcher");
  expect(menu).toHaveTextContent("model:read");
  await expectAccessible();
});

test("the account's menu is left by its one item, from the keyboard too", async () => {
  draw(<Shell />);
  screen.getByRole("button", { name: "Account: researcher" }).focus();
  await user.keyboard("{Enter}");
  await screen.findByRole("menuitem", { name: "Sign out" });
  await user.keyboard("{ArrowDown}{Enter}");
  expect(useSession.getState().status).toBe("signed-out");
});
