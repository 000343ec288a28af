import {
  ActionIcon,
  AppShell,
  Badge,
  Burger,
  Group,
  Menu,
  NavLink,
  Text,
  Tooltip,
  useComputedColorScheme,
  useMantineColorScheme,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { CircleUser, LogOut, Moon, Sun } from "lucide-react";
import { Suspense, useEffect } from "react";
import { Link, Outlet, useLocation } from "react-router";
import { useSession } from "@/state/session";
import { Logo } from "@/ui/Logo";
import { PageSkeleton } from "@/ui/PageSkeleton";
import { LiveBanner } from "./LiveBanner";
import { SCREENS } from "./navigation";
import { Unbroken } from "./Unbroken";

/** What surrounds each screen: navigation, who is signed in, whether it is live. */
export function Shell() {
  const [open, { toggle, close }] = useDisclosure();
  const { pathname } = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another screen closes the drawer
  useEffect(close, [pathname]);
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 208, breakpoint: "sm", collapsed: { mobile: !open } }}
      padding={{ base: "md", md: "xl" }}
    >
      <a href="#content" className="skip">
        Skip to content
      </a>
      <AppShell.Header px="md">
        <Group h="100%" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger
              opened={open}
              onClick={toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label="Navigation"
            />
            <Logo />
            <Text fw={700} size="lg" lts="-0.01em">
              miStudio
            </Text>
          </Group>
          <Group gap="xs" wrap="nowrap">
            <SchemeToggle />
            <UserMenu />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm" aria-label="Screens">
        {SCREENS.map(({ path, label, icon: Icon }) => {
          const here = pathname === path || pathname.startsWith(`${path}/`);
          return (
            <NavLink
              key={path}
              component={Link}
              to={path}
              label={label}
              active={here}
              aria-current={here ? "page" : undefined}
              leftSection={<Icon size={18} strokeWidth={1.8} aria-hidden />}
              fw={here ? 600 : 500}
              mb={2}
              bdrs="md"
            />
          );
        })}
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1}>
        <LiveBanner />
        <Unbroken at={pathname}>
          <Suspense fallback={<PageSkeleton />}>
            <Outlet />
          </Suspense>
        </Unbroken>
      </AppShell.Main>
    </AppShell>
  );
}

function SchemeToggle() {
  const scheme = useComputedColorScheme("light");
  const { setColorScheme } = useMantineColorScheme();
  const other = scheme === "dark" ? "light" : "dark";
  return (
    <Tooltip label={`Use ${other} colours`}>
      <ActionIcon
        variant="subtle"
        color="gray"
        size="lg"
        onClick={() => setColorScheme(other)}
        aria-label={`Use ${other} colours`}
      >
        {scheme === "dark" ? <Sun size={18} aria-hidden /> : <Moon size={18} aria-hidden />}
      </ActionIcon>
    </Tooltip>
  );
}

function UserMenu() {
  const who = useSession((session) => session.who);
  const signOut = useSession((session) => session.signOut);
  if (!who) return null;
  return (
    // In a menu nothing but its items may be focused.
    <Menu position="bottom-end" width={240} withInitialFocusPlaceholder={false}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`Account: ${who.subject}`}>
          <CircleUser size={20} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Signed in as {who.subject}</Menu.Label>
        <Group gap={4} px="sm" pb="xs">
          {who.scopes.map((scope) => (
            <Badge key={scope} size="xs" variant="default">
              {scope}
            </Badge>
          ))}
        </Group>
        <Menu.Divider />
        <Menu.Item leftSection={<LogOut size={16} aria-hidden />} onClick={() => signOut()}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
