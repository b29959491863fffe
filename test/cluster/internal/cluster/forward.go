package cluster

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// Forward accepts connections on the listener that is inherited as file descriptor 3 and passes each on to the address.
// It runs inside the node's network namespace while the listener is on the host's loopback. It returns only on failure.
func Forward(address string) error {
	file := os.NewFile(3, "listener")
	listener, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("forward is started by up, with a listener as file descriptor 3: %w", err)
	}
	// The listener has a copy of its own.
	if err := file.Close(); err != nil {
		return err
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("accepting on %s: %w", listener.Addr(), err)
		}
		go func() {
			if err := forwardOne(client, address); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
	}
}

// forwardOne copies both ways until both sides have said all. Half-closing keeps the answer of a server whose client has
// sent all of its request.
func forwardOne(client net.Conn, address string) error {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { copyAndClose(server, client) })
	both.Go(func() { copyAndClose(client, server) })
	both.Wait()
	return nil
}

// copyAndClose ends the receiving side's reading when the sending side has ended. Errors are the peers' to see: they are
// what a broken connection is.
func copyAndClose(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		_ = to.Close()
		return
	}
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}
