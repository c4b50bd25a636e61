//go:build unix

package redistest

import (
	"os/exec"
	"syscall"
)

// own makes a process group of the shell and the server that it starts.
func own(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
