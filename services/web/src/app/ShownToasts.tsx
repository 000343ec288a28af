import { Text } from "@mantine/core";
import { Notifications, notifications, notificationsStore } from "@mantine/notifications";
import "@mantine/notifications/styles.css";
import { CircleAlert, CircleCheck, Info } from "lucide-react";
import { useEffect } from "react";
import { takeToasts, useToasts } from "@/state/toasts";

const LOOKS = {
  good: { color: "teal", icon: <CircleCheck size={18} aria-hidden /> },
  bad: { color: "red", icon: <CircleAlert size={18} aria-hidden /> },
  plain: { color: "iris", icon: <Info size={18} aria-hidden /> },
} as const;

const MOST = 4;

/** Shows what is told, a failure until it is closed; good news for which there is no room is old. */
export default function ShownToasts() {
  const waiting = useToasts((toasts) => toasts.waiting);
  useEffect(() => {
    if (!waiting.length) return;
    for (const { key, tone, title, message, remedy } of takeToasts()) {
      if (tone !== "bad" && notificationsStore.getState().notifications.length >= MOST) continue;
      notifications.show({
        id: `toast-${key}`,
        title,
        message: (
          <>
            {message && <Text size="sm">{message}</Text>}
            {remedy && (
              <Text size="sm" fw={550} mt={4}>
                {remedy}
              </Text>
            )}
          </>
        ),
        color: LOOKS[tone].color,
        icon: LOOKS[tone].icon,
        autoClose: tone === "bad" ? false : 6000,
        withBorder: true,
        role: tone === "bad" ? "alert" : "status",
        closeButtonProps: { "aria-label": "Dismiss" },
      });
    }
  }, [waiting]);
  return <Notifications position="bottom-right" limit={MOST} containerWidth={420} />;
}
