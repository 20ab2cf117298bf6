import type { AttributeValue, Envelope, Extension } from './event.ts'
import { CloudEvent, NEW_ENVELOPE } from './event.ts'
import type { BadEvent } from './attributes.ts'
import { badEvent, checkAttributeName, faultOfAttribute, faultOfExtension, isTimestamp, shown } from './attributes.ts'
import { mediaTypeOf } from './media.ts'
import { passesLeft, TTL_ATTRIBUTE } from './ttl.ts'

/** More than any real event has; it keeps the search for repeated names short. */
const MOST_EXTENSIONS = 256

/**
 * Attributes as a binding finds them, in any order, until they are an event or a reason why not. One draft a codec is
 * reused for every event: begin → put … → finish, all in one synchronous step.
 */
export class Draft {
  specversion: string | undefined
  id: string | undefined
  source: string | undefined
  type: string | undefined
  subject: string | undefined
  time: string | undefined
  datacontenttype: string | undefined
  dataschema: string | undefined
  schemaurl: string | undefined
  extensions: Extension[] = []
  /** The first thing that was wrong. */
  fault: BadEvent | null = null
  /** Every value so far is printable ASCII and so needs no check as text: whoever puts another one sets this to false. */
  clean = true
  /** undefined = the attribute was not there. */
  ttl: AttributeValue | undefined
  #repeats: 'refused' | 'last-wins' = 'refused'
  #lenient = false

  /** `last-wins` and lenient checks are for Kafka and RocketMQ, where the producer cannot be told. */
  begin(repeats: 'refused' | 'last-wins', lenient: boolean): void {
    this.specversion = undefined
    this.id = undefined
    this.source = undefined
    this.type = undefined
    this.subject = undefined
    this.time = undefined
    this.datacontenttype = undefined
    this.dataschema = undefined
    this.schemaurl = undefined
    this.extensions = []
    this.fault = null
    this.clean = true
    this.ttl = undefined
    this.#repeats = repeats
    this.#lenient = lenient
  }

  refuse(attribute: string, message: string): void {
    this.fault ??= badEvent(attribute, message)
  }

  /** `name` without the prefix of the binding. */
  put(name: string, value: AttributeValue): void {
    switch (name) {
      case 'id':
        this.id = this.#text(name, value, this.id)
        return
      case 'source':
        this.source = this.#text(name, value, this.source)
        return
      case 'type':
        this.type = this.#text(name, value, this.type)
        return
      case 'specversion':
        this.specversion = this.#text(name, value, this.specversion)
        return
      case 'time':
        this.time = this.#text(name, value, this.time)
        return
      case 'subject':
        this.subject = this.#text(name, value, this.subject)
        return
      case 'datacontenttype':
        this.datacontenttype = this.#text(name, value, this.datacontenttype)
        return
      case 'dataschema':
        this.dataschema = this.#text(name, value, this.dataschema)
        return
      case 'schemaurl':
        this.schemaurl = this.#text(name, value, this.schemaurl)
        return
      case TTL_ATTRIBUTE:
        this.ttl = value
        return
      default:
        this.#extension(name, value)
    }
  }

  /** The event, or what is wrong with it. `data` is kept as it is, not copied. */
  finish(data: Uint8Array | null, base: Envelope = NEW_ENVELOPE): CloudEvent | BadEvent {
    const version = this.specversion
    const fault = this.fault ?? (this.#isPlain(version) ? null : this.#check(version))
    if (fault !== null) return fault
    const old = version === '0.3'
    // The other version's name for the schema is an ordinary extension in this one.
    const foreign = old ? this.dataschema : this.schemaurl
    if (foreign !== undefined) this.#extension(old ? 'dataschema' : 'schemaurl', foreign)
    return new CloudEvent({
      specversion: old ? '0.3' : '1.0',
      id: this.id as string,
      source: this.source as string,
      type: this.type as string,
      subject: this.subject,
      time: this.time,
      datacontenttype: this.datacontenttype,
      dataschema: old ? this.schemaurl : this.dataschema,
      extensions: this.extensions,
      data,
      envelope: this.ttl === undefined ? base : { ...base, ttl: passesLeft(this.ttl) },
    })
  }

  /** Nearly every event is: the checks that are left when all is there and printable. What fails here is named by `#check`. */
  #isPlain(version: string | undefined): boolean {
    if (!this.clean || version !== '1.0' || !this.id || !this.source || !this.type) return false
    if (this.subject === '' || this.dataschema !== undefined || this.schemaurl !== undefined) return false
    if (this.time !== undefined && !isTimestamp(this.time)) return false
    const type = this.datacontenttype
    if (type !== undefined && (type === '' || (!this.#lenient && mediaTypeOf(type) === null))) return false
    const extensions = this.extensions
    for (let i = 0; i < extensions.length; i++) {
      const x = extensions[i] as Extension
      if (typeof x[1] === 'number' || checkAttributeName(x[0]) !== null) return false
    }
    return true
  }

  #check(version: string | undefined): BadEvent | null {
    if (version !== '1.0' && version !== '0.3') {
      return (
        faultOfAttribute('specversion', version, true, true) ??
        badEvent('specversion', `"specversion" is "${shown(version ?? '')}"; this gateway speaks 1.0 and 0.3`)
      )
    }
    const lenient = this.#lenient
    return (
      faultOfAttribute('id', this.id, true, lenient) ??
      faultOfAttribute('source', this.source, true, lenient) ??
      faultOfAttribute('type', this.type, true, lenient) ??
      faultOfAttribute('subject', this.subject, false, lenient) ??
      faultOfAttribute('time', this.time, false, lenient) ??
      faultOfAttribute('datacontenttype', this.datacontenttype, false, lenient) ??
      (version === '1.0'
        ? faultOfAttribute('dataschema', this.dataschema, false, lenient)
        : faultOfAttribute('schemaurl', this.schemaurl, false, lenient)) ??
      this.#checkExtensions()
    )
  }

  #checkExtensions(): BadEvent | null {
    for (const [name, value] of this.extensions) {
      const fault = faultOfExtension(name, value)
      if (fault !== null) return fault
    }
    return null
  }

  #text(name: string, value: AttributeValue, before: string | undefined): string | undefined {
    if (typeof value !== 'string') {
      this.refuse(name, `the attribute "${name}" has to be a string`)
      return before
    }
    if (before !== undefined && this.#repeats === 'refused') this.refuse(name, `the attribute "${name}" is given twice`)
    // An empty optional header says as much as none, where nobody can be told.
    return value === '' && this.#lenient ? before : value
  }

  #extension(name: string, value: AttributeValue): void {
    const all = this.extensions
    for (let i = 0; i < all.length; i++) {
      if ((all[i] as Extension)[0] !== name) continue
      if (this.#repeats === 'refused') this.refuse(name, `the attribute "${shown(name)}" is given twice`)
      all[i] = [name, value]
      return
    }
    if (all.length >= MOST_EXTENSIONS) this.refuse(name, `an event may have ${MOST_EXTENSIONS} extension attributes at most`)
    else all.push([name, value])
  }

  /** Checks a name before its value is looked at. */
  allows(name: string): boolean {
    const fault = checkAttributeName(name)
    if (fault !== null) this.refuse(name, fault)
    return fault === null
  }
}
