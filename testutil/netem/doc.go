// SPDX-License-Identifier: MIT

// Package netem is a bad network on loopback: a TCP proxy in front of a server,
// whose troubles can change while it runs. Nothing on the way is made up: the
// bytes of client and server pass as they are, or not at all.
//
//	trouble              how                        what the client meets
//	narrow link          Settings.Up, Down          all connections share so many bytes per second
//	long link            Settings.Delay, Jitter     one way; what follows is on its way meanwhile
//	tiny segments        Settings.Split             at most so many bytes in one write
//	packets get lost     Settings.Stall             connections open, nothing arrives; goes on where it stopped
//	black hole           Settings.Swallow           bytes are taken and thrown away; such connections never recover
//	connections break    Reset, Settings.ResetEvery RST, both ways
//	                     Settings.ResetAfter        RST after so many bytes of a connection
//	answers get lost     Settings.Lose              the server has done it, the connection closes before the answer
//	nobody there         Refuse, Listen             connection refused
//	a full server        Settings.MaxConns          connected by the kernel, never answered, as QuestDB does
//	a stranger answers   Settings.Answer            portal, redirect, gateway: Page, Raw, StripUpgrade, Real
//
// Troubles add up: a portal behind a narrow link is a slow portal. What it cannot
// do: the handshake of TCP is the kernel's and takes no time, and a server that is
// gone shows as a reset, because the client is connected to the proxy by then; use
// Refuse.
//
// Stats counts connections and bytes, as the client's side of the link sees them.
package netem
