package sources

import (
	"fmt"
	"os"
	"path/filepath"
)

// rotate moves the log away; the writer goes over at once, or at some later step.
func (m *model) rotate() {
	if m.link >= 0 {
		m.op("the link goes to a new file")
		m.create()
		check(os.Symlink(m.real(), m.path+".tmp"))
		check(os.Rename(m.path+".tmp", m.path))
	} else {
		if _, err := os.Stat(m.path); err != nil {
			return
		}
		m.op("rotate")
		m.shift()
		check(os.Rename(m.path, m.path+".1"))
		if m.rand.IntN(2) == 0 {
			m.op("create")
			check(os.WriteFile(m.path, nil, 0o644))
			info, err := os.Stat(m.path)
			check(err)
			m.files[idOf(info)] = newModelFile()
		}
	}
	if m.rand.IntN(2) == 0 {
		m.change()
	}
}

// shift makes room for log.1.
func (m *model) shift() {
	for i := 9; i >= 1; i-- {
		from := fmt.Sprintf("%s.%d", m.path, i)
		if i == 9 {
			m.excuse(from)
			os.Remove(from)
			continue
		}
		os.Rename(from, fmt.Sprintf("%s.%d", m.path, i+1))
	}
}

// excuse says that the file at path is going away: what was not read of it and is not held open is gone.
func (m *model) excuse(path string) {
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	file := m.files[idOf(info)]
	if file == nil {
		return
	}
	m.holding()
	if !file.held {
		m.forgive(file)
	}
}

func (m *model) forgive(file *modelFile) {
	for n := range file.unread {
		m.lines[n].excused = true
	}
	clear(file.unread)
}

func (m *model) copytruncate() {
	info, err := os.Stat(m.path)
	if err != nil {
		return
	}
	m.op("copytruncate")
	to := m.path + ".1"
	if m.link < 0 {
		m.shift()
	} else {
		m.packed++
		to = fmt.Sprintf("%s.%d", m.real(), m.packed)
	}
	copyFile(m.path, to)
	check(os.Truncate(m.path, 0))
	// What was unread is in the copy now.
	copied, err := os.Stat(to)
	check(err)
	if old := m.files[idOf(info)]; old != nil {
		m.files[idOf(copied)] = &modelFile{unread: old.unread}
		old.unread = map[int]bool{}
	}
	m.halfLost(idOf(info))
}

// halfLost ends the unfinished line if it was in the file that is gone: its rest would be no line.
func (m *model) halfLost(id fileID) {
	if info, _ := m.w.Stat(); m.half == "" || idOf(info) != id {
		return
	}
	_, err := fmt.Fprintf(m.w, "rest of %d\n", len(m.lines))
	check(err)
	m.half = ""
	m.lines = append(m.lines, modelLine{excused: true})
}

func (m *model) truncate() {
	info, err := os.Stat(m.path)
	if err != nil {
		return
	}
	m.op("truncate")
	check(os.Truncate(m.path, 0))
	if file := m.files[idOf(info)]; file != nil {
		m.forgive(file)
	}
	m.halfLost(idOf(info))
}

func (m *model) remove() {
	if m.link >= 0 {
		return
	}
	m.op("delete")
	m.excuse(m.path)
	os.Remove(m.path)
	if m.rand.IntN(2) == 0 {
		m.change()
	}
}

// compress packs one of the rotated files.
func (m *model) compress() {
	names, _ := filepath.Glob(m.path + ".[0-9]")
	if len(names) == 0 {
		return
	}
	name := names[m.rand.IntN(len(names))]
	m.op("compress %s", filepath.Base(name))
	m.excuse(name)
	m.packed++
	check(os.Rename(name, fmt.Sprintf("%s.%d.gz", m.path, m.packed)))
	check(os.Remove(fmt.Sprintf("%s.%d.gz", m.path, m.packed)))
}
