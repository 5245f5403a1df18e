package zone

// Signed says whether the zone is signed: its apex has a DNSKEY, and a
// signature over the SOA.
func (s *Snapshot) Signed() bool {
	_, key := s.Get(ID{s.apexKey, TypeDNSKEY, 0})
	_, sig := s.Get(ID{s.apexKey, TypeRRSIG, TypeSOA})
	return key && sig
}
