package label

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// describeSocket says what a socket is connected to, or bound to.
func describeSocket(pid, fd int32, inode string, its end) string {
	if what, ok := askSocket(pid, fd, its); ok {
		return what
	}
	return findSocket(pid, inode, its)
}

// askSocket asks the socket itself, by a copy of the descriptor. That takes some microseconds, where the lists
// of all sockets take milliseconds on a server with thousands of connections. It needs Linux 5.6.
func askSocket(pid, fd int32, its end) (what string, ok bool) {
	process, err := unix.PidfdOpen(int(pid), 0)
	if err != nil {
		return "", false
	}
	defer unix.Close(process)
	socket, err := unix.PidfdGetfd(process, int(fd), 0)
	if err != nil {
		return "", false
	}
	defer unix.Close(socket)
	local, err := unix.Getsockname(socket)
	if err != nil {
		return "", false
	}
	remote, _ := unix.Getpeername(socket)
	if _, ok := local.(*unix.SockaddrUnix); ok {
		for _, side := range []unix.Sockaddr{local, remote} {
			if a, ok := side.(*unix.SockaddrUnix); ok && a.Name != "" && a.Name != noName {
				return "unix " + a.Name, true
			}
		}
		return "unix", true
	}
	protocol, _ := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	switch protocol {
	case unix.IPPROTO_TCP:
		listens, _ := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		if remote == nil && listens == 0 {
			return "", false // while it is being connected, only the lists tell whereto
		}
		return endpoints("tcp", addressOf(local), addressOf(remote), its), true
	case unix.IPPROTO_UDP:
		return endpoints("udp", addressOf(local), addressOf(remote), its), true
	}
	return "", false
}

// noName is what package unix makes of the address of a unix socket that has none.
const noName = "@"

func addressOf(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// endpoints names a socket by its addresses: one that was connected by whereto, one that was accepted by its own port, since
// each client has another address. Where that was not seen, the side with the lower port is the service, most likely.
func endpoints(protocol string, local, remote netip.AddrPort, its end) string {
	switch {
	case remote.Port() == 0 && local.Port() == 0:
		return "socket"
	case remote.Port() == 0:
		return protocol + " " + local.String()
	case its == acceptedEnd, its == unknownEnd && local.Port() != 0 && local.Port() < remote.Port():
		return fmt.Sprintf("%s :%d", protocol, local.Port())
	}
	return protocol + " " + remote.String()
}

// findSocket finds a socket in the process's network namespace (proc_pid_net(5)).
func findSocket(pid int32, inode string, its end) string {
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
		found := ""
		eachLine(fmt.Sprintf("/proc/%d/net/%s", pid, protocol), func(line string) bool {
			// sl local remote st queues tr retrnsmt uid timeout inode …
			f := strings.Fields(line)
			if len(f) < 10 || f[9] != inode {
				return true
			}
			found = endpoints(strings.TrimSuffix(protocol, "6"), address(f[1]), address(f[2]), its)
			return false
		})
		if found != "" {
			return found
		}
	}
	found := ""
	eachLine(fmt.Sprintf("/proc/%d/net/unix", pid), func(line string) bool {
		// Num RefCount Protocol Flags Type St Inode [Path]
		f := strings.Fields(line)
		if len(f) < 7 || f[6] != inode {
			return true
		}
		if found = "unix"; len(f) > 7 {
			found += " " + f[7]
		}
		return false
	})
	if found == "" {
		return "socket"
	}
	return found
}

// address reads the kernel's "0100007F:18EB": words of 32 bits in the machine's byte order, and a port.
func address(text string) netip.AddrPort {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	number, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	ip, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(number))
}

// eachLine calls f with every line of a file until it returns false.
func eachLine(path string, f func(string) bool) {
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() && f(lines.Text()) {
	}
}
