// SPDX-License-Identifier: MIT

package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// pipe is the DevTools protocol: JSON, each message ended by a zero byte.
type pipe struct {
	to, from   *os.File
	in         *bufio.Reader
	last       int
	complaints map[string][]string // by session
}

type params map[string]any

// message is an answer, which has an id, or an event.
type message struct {
	ID        int             `json:"id"`
	SessionID string          `json:"sessionId"`
	Result    json.RawMessage `json:"result"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error"`
	Method string `json:"method"`
	Params struct {
		Entry            struct{ Level, Text, URL string }
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
	} `json:"params"`
}

// connect starts a command whose descriptors 3 and 4 are the pipe.
func connect(cmd *exec.Cmd) (*pipe, error) {
	theirIn, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close()
	from, theirOut, err := os.Pipe()
	if err != nil {
		_ = to.Close()
		return nil, err
	}
	defer theirOut.Close()
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	p := &pipe{to: to, from: from, in: bufio.NewReader(from), complaints: map[string][]string{}}
	if err := cmd.Start(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pipe) close() {
	_ = p.to.Close()
	_ = p.from.Close()
}

// call waits for the answer to a command. What comes before is looked through.
func (p *pipe) call(ctx context.Context, session, method string, with params, into any) error {
	p.last++
	ask := map[string]any{"id": p.last, "method": method}
	if with != nil {
		ask["params"] = with
	}
	if session != "" {
		ask["sessionId"] = session
	}
	b, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.from.SetReadDeadline(time.Now()) })
	defer stop()
	if _, err := p.to.Write(append(b, 0)); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	for {
		var m message
		raw, err := p.in.ReadBytes(0)
		if err != nil {
			return fmt.Errorf("%s: chromium says nothing: %w", method, err)
		}
		if err := json.Unmarshal(bytes.TrimSuffix(raw, []byte{0}), &m); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case m.ID != p.last:
			p.note(&m)
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case into != nil:
			return json.Unmarshal(m.Result, into)
		default:
			return nil
		}
	}
}

// note keeps what an event complains of.
func (p *pipe) note(m *message) {
	switch x := &m.Params; m.Method {
	case "Runtime.exceptionThrown":
		p.complaints[m.SessionID] = append(p.complaints[m.SessionID], x.ExceptionDetails.Text+" "+x.ExceptionDetails.Exception.Description)
	case "Log.entryAdded":
		if x.Entry.Level == "error" {
			p.complaints[m.SessionID] = append(p.complaints[m.SessionID], x.Entry.Text+" "+x.Entry.URL)
		}
	}
}
