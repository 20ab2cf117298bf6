import { expect, test } from 'vitest'
import { Memberships, type NoteFile } from '../../../src/sources/kafka/memberships.ts'

function file(stored = ''): NoteFile & { text: string } {
  return {
    text: stored,
    stored,
    store(text) {
      this.text = text
    },
  }
}

test('the next process finds who was a member, each reader its own, and nobody who has left', () => {
  const first = file()
  const before = new Memberships(first)
  const [a, b, left] = ['a', 'b', 'left'].map((reader) => before.of(reader, 'shared'))
  expect([a, b, left].map((note) => note?.predecessor)).toEqual(['', '', ''])
  a?.write('member-of-a')
  b?.write('member-of-b')
  left?.write('gone-soon')
  left?.write('')
  const after = new Memberships(file(first.text))
  expect(['a', 'b', 'left'].map((reader) => after.of(reader, 'shared').predecessor)).toEqual(['member-of-a', 'member-of-b', ''])
  expect(after.of('a', 'another').predecessor).toBe('')
})

test('a process takes out no member of its own: what it wrote itself is no predecessor', () => {
  const kept = file(JSON.stringify({ 'a g': 'dead' }))
  const memberships = new Memberships(kept)
  const note = memberships.of('a', 'g')
  expect(note.predecessor).toBe('dead')
  note.write('alive')
  expect(memberships.of('a', 'g').predecessor).toBe('')
  expect(JSON.parse(kept.text)).toEqual({ 'a g': 'alive' })
})

test.each(['', '{"a g": "cut of', '[]', 'null', '{"a g": 7}'])('a file that holds %j says nothing', (text) => {
  expect(new Memberships(file(text)).of('a', 'g').predecessor).toBe('')
})
