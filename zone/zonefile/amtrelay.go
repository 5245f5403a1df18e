package zonefile

import (
	"errors"
	"strconv"

	"dnsctl/zone"
)

// typeAMTRELAY (RFC 8777 section 4) is read and written here: the library loses
// the relay of records with the discovery bit.
const typeAMTRELAY zone.Type = 260

const amtrelayUsage = "PRECEDENCE DISCOVERY TYPE RELAY"

// relayKinds is what RELAY is for each TYPE; for 0 it is a dot and nothing.
var relayKinds = map[byte]kind{1: kIPv4, 2: kIPv6, 3: kName}

var errDot = errors.New("is not a dot, which type 0 has as its relay")

func (p *rdataParser) amtrelay() error {
	fields := []field{{kU8, "PRECEDENCE"}, {kU8, "DISCOVERY"}, {kU8, "TYPE"}, {kU8, "RELAY"}}
	start := len(p.out)
	for i, f := range fields {
		if len(p.toks) == 0 {
			return p.fail(typeAMTRELAY, f, nil, errMissing)
		}
		text := p.toks[0].text
		var err error
		if i < 3 {
			err = p.field(f.kind)
		} else {
			d, kind := p.out[start+1], p.out[start+2]
			p.out = append(p.out[:start+1], d<<7|kind)
			k, ok := relayKinds[kind]
			switch {
			case d > 1:
				f, err = fields[1], errors.New("is not 0 or 1")
			case ok:
				err = p.field(k)
			case kind > 0:
				f, err = fields[2], errors.New("is not 0 to 3")
			case string(text) != ".":
				err = errDot
			default:
				p.toks = p.toks[1:]
			}
		}
		if err != nil {
			return p.fail(typeAMTRELAY, f, text, err)
		}
	}
	if len(p.toks) > 0 {
		return p.fail(typeAMTRELAY, field{}, p.toks[0].text, errExtra)
	}
	return nil
}

func amtrelayWellFormed(rdata string) bool {
	if len(rdata) < 2 {
		return false
	}
	kind := rdata[1] & 0x7f
	k, ok := relayKinds[kind]
	if !ok {
		return kind == 0 && len(rdata) == 2
	}
	return k.span(rdata[2:]) == len(rdata)-2
}

// amtrelayText is the presentation form of well-formed rdata.
func amtrelayText(rdata string) string {
	b := strconv.AppendUint(nil, uint64(rdata[0]), 10)
	b = append(b, ' ', '0'+rdata[1]>>7, ' ', '0'+rdata[1]&0x7f, ' ')
	k, ok := relayKinds[rdata[1]&0x7f]
	if !ok {
		return string(append(b, '.'))
	}
	b, _ = appendField(b, k, rdata[2:])
	return string(b)
}
