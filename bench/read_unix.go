//go:build unix

package bench

import (
	"errors"
	"io"
	"syscall"
)

const readsNow = true // whether readNow can

// readNow reads what there is, and does not wait for more: 0 bytes if there is none.
func readNow(c syscall.RawConn, into []byte) (n int, err error) {
	failed := c.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), into)
		return true
	})
	switch {
	case failed != nil:
		return 0, failed
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, nil
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return max(0, n), err
}
