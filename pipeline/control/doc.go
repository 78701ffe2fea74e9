// Package control shows what a running pipeline does, and lets a person step in: an http.Handler that speaks JSON, and
// server-sent events for what happens. docs/control.md has every request and every field.
//
//	GET  /v1/status    what runs and how it is doing
//	GET  /v1/bans      who is banned, until when and why
//	GET  /v1/why       all about one address
//	GET  /v1/history   what was decided
//	GET  /v1/events    what is being decided, as it happens
//	POST /v1/ban       /v1/unban /v1/allow /v1/disallow /v1/pause /v1/resume /v1/flush
//	POST /v1/reload    /v1/confirm
//
// Whoever can reach it can ban and unban: put it on a socket with rights, never on a network.
package control
