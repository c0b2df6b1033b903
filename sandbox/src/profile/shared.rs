//! What every process shares: the never-list, and the calls that any Rust program with a mio loop makes.

use libc::{
    AT_EMPTY_PATH, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER,
    CLONE_NEWUTS, MSG_FASTOPEN, PROT_EXEC,
};

use super::Rule;
use super::rule::{Compare, Test, call, has, is, lacks, socket_type, when};

/// Calls that only an attacker makes: the kernel kills the process (SIGSYS, status 31).
pub const NEVER: &[Rule] = &[
    call(libc::SYS_execve, "no program is ever run"),
    call(libc::SYS_execveat, "no program is ever run"),
    call(libc::SYS_ptrace, "another process's memory"),
    call(libc::SYS_process_vm_readv, "another process's memory"),
    call(libc::SYS_process_vm_writev, "another process's memory"),
    call(libc::SYS_process_madvise, "another process's memory"),
    call(libc::SYS_pidfd_getfd, "another process's descriptors"),
    call(libc::SYS_kcmp, "another process's descriptors"),
    call(libc::SYS_bpf, "code in the kernel"),
    call(libc::SYS_perf_event_open, "code in the kernel"),
    call(libc::SYS_userfaultfd, "helps to exploit the kernel"),
    call(libc::SYS_io_uring_setup, "calls that no filter sees"),
    call(libc::SYS_io_uring_enter, "calls that no filter sees"),
    call(libc::SYS_io_uring_register, "calls that no filter sees"),
    call(libc::SYS_init_module, "code in the kernel"),
    call(libc::SYS_finit_module, "code in the kernel"),
    call(libc::SYS_delete_module, "code in the kernel"),
    call(libc::SYS_kexec_load, "code in the kernel"),
    call(libc::SYS_kexec_file_load, "code in the kernel"),
    call(libc::SYS_reboot, "the machine"),
    call(libc::SYS_swapon, "the machine"),
    call(libc::SYS_swapoff, "the machine"),
    call(libc::SYS_acct, "the machine"),
    call(libc::SYS_mount, "file systems"),
    call(libc::SYS_umount2, "file systems"),
    call(libc::SYS_pivot_root, "file systems"),
    call(libc::SYS_chroot, "file systems"),
    call(libc::SYS_open_tree, "file systems"),
    call(libc::SYS_move_mount, "file systems"),
    call(libc::SYS_fsopen, "file systems"),
    call(libc::SYS_fsconfig, "file systems"),
    call(libc::SYS_fsmount, "file systems"),
    call(libc::SYS_fspick, "file systems"),
    call(libc::SYS_mount_setattr, "file systems"),
    call(libc::SYS_open_by_handle_at, "files without their path"),
    call(libc::SYS_fanotify_init, "other processes' files"),
    call(libc::SYS_add_key, "key rings"),
    call(libc::SYS_request_key, "key rings"),
    call(libc::SYS_keyctl, "key rings"),
    call(libc::SYS_unshare, "namespaces"),
    call(libc::SYS_setns, "namespaces"),
    when(
        libc::SYS_clone,
        &[
            &[has(0, CLONE_NEWNS)],
            &[has(0, CLONE_NEWCGROUP)],
            &[has(0, CLONE_NEWUTS)],
            &[has(0, CLONE_NEWIPC)],
            &[has(0, CLONE_NEWUSER)],
            &[has(0, CLONE_NEWPID)],
            &[has(0, CLONE_NEWNET)],
        ],
        "namespaces",
    ),
    call(libc::SYS_personality, "weakens address-space layout"),
];

/// The never-list's calls that exist on x86_64 only, with the numbers that the x32 interface gives to calls of the
/// list (arch/x86/entry/syscalls/syscall_64.tbl, 512 and above): a filter for x86_64 sees both.
#[cfg(target_arch = "x86_64")]
pub const NEVER_OF_ARCHITECTURE: &[Rule] = &[
    call(libc::SYS_iopl, "hardware ports"),
    call(libc::SYS_ioperm, "hardware ports"),
    call(libc::SYS_modify_ldt, "helps to exploit the kernel"),
    call(520, "execve of x32"),
    call(521, "ptrace of x32"),
    call(528, "kexec_load of x32"),
    call(539, "process_vm_readv of x32"),
    call(540, "process_vm_writev of x32"),
    call(545, "execveat of x32"),
];
/// No further calls on this architecture.
#[cfg(not(target_arch = "x86_64"))]
pub const NEVER_OF_ARCHITECTURE: &[Rule] = &[];

/// Calls refused with ENOSYS and not counted, because libc asks for them first and then does without.
pub const QUIETLY_REFUSED: &[Rule] =
    &[call(libc::SYS_clone3, "its flags can't be filtered; libc falls back to clone")];

/// Memory, time, randomness, ending: what the language and libc need in any process.
pub(super) const RUNTIME: &[Rule] = &[
    when(libc::SYS_mmap, &[&[lacks(2, PROT_EXEC)]], "heap; never executable"),
    call(libc::SYS_munmap, "heap"),
    call(libc::SYS_mremap, "heap"),
    call(libc::SYS_brk, "heap"),
    when(libc::SYS_prctl, &[&[is(0, PR_SET_VMA)]], "newer libc names its heap areas"),
    call(libc::SYS_futex, "std locks, even uncontended ones at exit"),
    call(libc::SYS_getrandom, "hash seeds; random ids; TLS"),
    call(libc::SYS_clock_gettime, "reactor, where the vDSO has no fast clock"),
    call(libc::SYS_rt_sigreturn, "return from the SIGSYS handler"),
    call(libc::SYS_rt_sigprocmask, "abort"),
    call(libc::SYS_sigaltstack, "std at exit"),
    call(libc::SYS_getpid, "abort"),
    call(libc::SYS_gettid, "abort"),
    when(
        libc::SYS_tgkill,
        &[&[Test { argument: 0, compare: Compare::OwnPid }]],
        "abort signals itself; never another process",
    ),
    call(libc::SYS_exit_group, "end"),
];

/// The event loop and the descriptors it holds.
pub(super) const LOOP: &[Rule] = &[
    call(libc::SYS_epoll_pwait, "reactor: mio wait, by libc's choice"),
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_epoll_wait, "reactor: mio wait"),
    call(libc::SYS_timerfd_settime, "reactor: next deadline"),
    call(libc::SYS_write, "panic line; word of an unknown call"),
    call(libc::SYS_close, "descriptors"),
    call(libc::SYS_pread64, "memfds: a generation read in slices"),
    when(libc::SYS_statx, &[&[has(2, AT_EMPTY_PATH)]], "memfds: length, as std asks"),
];

/// Sending and receiving, but for TCP fast open, which connects without asking landlock.
pub(super) const MESSAGES: &[Rule] = &[
    call(libc::SYS_recvfrom, "sockets"),
    call(libc::SYS_recvmsg, "channel with descriptors; packet information"),
    when(libc::SYS_sendto, &[&[lacks(3, MSG_FASTOPEN)]], "sockets; never TCP fast open"),
    when(libc::SYS_sendmsg, &[&[lacks(2, MSG_FASTOPEN)]], "channel; sockets; never TCP fast open"),
];

/// Waiting for the kernel's answer over netlink. It is there when the request has been sent, unless it was lost.
pub(super) const NETLINK: &[Rule] = &[
    #[cfg(target_arch = "x86_64")]
    call(libc::SYS_poll, "netlink: wait for an answer until its deadline"),
    #[cfg(not(target_arch = "x86_64"))]
    call(libc::SYS_ppoll, "netlink: wait for an answer until its deadline"),
    call(libc::SYS_restart_syscall, "that wait, interrupted by SIGSTOP and SIGCONT"),
];

/// Added when the configuration has checks over UDP.
pub(crate) const UDP_SOCKETS: &[Rule] = &[when(
    libc::SYS_socket,
    &[
        &[is(0, libc::AF_INET), socket_type(libc::SOCK_DGRAM), is(2, libc::IPPROTO_UDP)],
        &[is(0, libc::AF_INET6), socket_type(libc::SOCK_DGRAM), is(2, libc::IPPROTO_UDP)],
    ],
    "DNS and UDP checks",
)];

const PR_SET_VMA: i32 = 0x5356_4d41;
