package redistest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/humanhours/humanhours-go/internal/redistest"
)

func TestServerComesBackWithWhatItWrote(t *testing.T) {
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	s.Must(t, "SET", "a", "1")
	s.Kill()
	require.Error(t, s.Client(t).Ping(context.Background()).Err())
	s.Restart()
	require.Equal(t, "1", s.Must(t, "GET", "a"))
}

// asChild makes the test binary start a server, print its address, and wait to be killed.
const asChild = "REDISTEST_CHILD"

func TestServerEndsWithAKilledTest(t *testing.T) {
	if os.Getenv(asChild) != "" {
		fmt.Printf("server %s\n", redistest.Start(t).Addr())
		<-t.Context().Done() // only the parent ends this
		return
	}
	redistest.Start(t) // or there is nothing to show here
	child := exec.Command(os.Args[0], "-test.run=^TestServerEndsWithAKilledTest$", "-test.timeout=1m")
	child.Env = append(os.Environ(), asChild+"=1", "TMPDIR="+t.TempDir())
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	addr := ""
	for scanner := bufio.NewScanner(out); addr == "" && scanner.Scan(); {
		if rest, ok := strings.CutPrefix(scanner.Text(), "server "); ok {
			addr = rest
		}
	}
	conn, dialed := net.Dial("tcp", addr)
	if dialed == nil {
		_ = conn.Close()
	}
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	require.NoError(t, dialed, "the server runs as long as the test")
	redistest.Eventually(t, func() error {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return nil
		}
		_ = conn.Close()
		return errors.New("the server outlives the test that started it")
	})
}

func TestClusterMovesASlot(t *testing.T) {
	c := redistest.StartCluster(t, 3)
	client := c.Client(t)
	for _, key := range []string{"{a}1", "{a}2", "{a}3", "{a}4"} {
		require.NoError(t, client.Set(t.Context(), key, key, 0).Err())
	}
	slot := c.SlotOf(t, "{a}")
	from := c.Owner(t, slot)
	steps := 0
	c.MoveSlot(t, slot, (from+1)%3, func(int) {
		steps++
		require.Equal(t, "{a}2", client.Get(t.Context(), "{a}2").Val())
	})
	require.Equal(t, 4, steps)
	require.Equal(t, (from+1)%3, c.Owner(t, slot))
	require.Equal(t, "{a}3", client.Get(t.Context(), "{a}3").Val())
}
