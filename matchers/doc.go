// Package matchers is everything that understands text: it finds the date of a line, takes the line
// apart, and says which jail's filter it offends and who is to blame. Filters are fail2ban's.
package matchers
