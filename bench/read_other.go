//go:build !unix

package bench

import (
	"errors"
	"syscall"
)

const readsNow = false

func readNow(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }
