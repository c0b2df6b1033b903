/* Lets Debian's keepalived check servers on a kernel without IPVS: preloaded, it stands between the program and
 * libnl's generic netlink, which the program uses for nothing else. Every order to the kernel is confirmed, and done
 * by nobody. */
struct nl_sock;
struct nl_msg;
typedef int (*callback)(struct nl_msg *, void *);

/* enum nl_cb_type */
enum { FINISH = 1, ACKNOWLEDGED = 4, KINDS = 16 };
static callback calls[KINDS];
static void *arguments[KINDS];

int genl_ctrl_resolve(struct nl_sock *socket, const char *family) {
    (void)socket, (void)family;
    return 42;
}

int nl_socket_modify_cb(struct nl_sock *socket, int type, int kind, callback call, void *argument) {
    (void)socket, (void)kind;
    if (type >= 0 && type < KINDS)
        calls[type] = call, arguments[type] = argument;
    return 0;
}

int nl_send_auto(struct nl_sock *socket, struct nl_msg *message) {
    (void)socket, (void)message;
    return 1;
}

int nl_recvmsgs_default(struct nl_sock *socket) {
    (void)socket;
    if (calls[ACKNOWLEDGED])
        calls[ACKNOWLEDGED](0, arguments[ACKNOWLEDGED]);
    if (calls[FINISH])
        calls[FINISH](0, arguments[FINISH]);
    return 0;
}
