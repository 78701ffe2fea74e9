// Command banpipe reads logs as a stream and has the kernel ban offenders.
package main

func main() {}
