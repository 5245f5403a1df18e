package bind

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// convertWait bounds how long a converted zone's transfer, and the writing of
// its file, may take.
const convertWait = 30 * time.Second

// Convert gives a loaded secondary the settings that Export returned.
//
// A secondary keeps its present file. A primary gets the file of the settings:
// as it is when it is still there with the same content, written anew when it is
// gone, and left alone in favour of one of our names when it holds anything
// else, as another zone may share it. On failure the zone is put back as it was.
func (d *driver) Convert(ctx context.Context, name zone.Name, text string) error {
	if err := d.convert(ctx, name, text); err != nil {
		return fmt.Errorf("restore settings of zone %s: %w", name, err)
	}
	return nil
}

func (d *driver) convert(ctx context.Context, name zone.Name, text string) error {
	want, err := parseSettings(text)
	if err != nil {
		return err
	}
	if !want.name.Equal(name) {
		return fmt.Errorf("%w: they are those of zone %s", nameserver.ErrRefused, want.name)
	}
	has, err := d.look(ctx, name)
	if err != nil {
		return err
	}
	if err := touchable(has); err != nil {
		return err
	}
	if has.Role != nameserver.Secondary || has.Serial == nil {
		return fmt.Errorf("%w: it is not a loaded secondary", nameserver.ErrRefused)
	}
	switch {
	case want.signs():
		return fmt.Errorf("%w: the nameserver signed it with keys that the copy does not have", nameserver.ErrUntouchable)
	case roleOf(want.kind) == nameserver.Secondary:
		set := want.with("file").with("masterfile-format")
		if has.file != "" {
			set = set.with("file", word{has.file, true})
		}
		if f := has.set.word("masterfile-format"); f != "" {
			set = set.with("masterfile-format", word{text: f})
		}
		_, err := d.control.do(ctx, "modzone "+d.at(name)+" "+set.text())
		return err
	case roleOf(want.kind) != nameserver.Primary:
		return fmt.Errorf("%w: they are of type %s", nameserver.ErrUntouchable, want.kind)
	case d.transfer == nil:
		return fmt.Errorf("%w: no transfers from this server", nameserver.ErrRefused)
	}
	if err := d.toPrimary(ctx, has, want); err != nil {
		return errors.Join(err, d.restore(ctx, has))
	}
	return nil
}

// restore puts a zone back whatever became of it.
func (d *driver) restore(ctx context.Context, has details) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
	defer cancel()
	if err := d.remove(ctx, "delzone "+d.at(has.Name), has.Name); err != nil && !errors.Is(err, nameserver.ErrNoZone) {
		return fmt.Errorf("put the zone back: %w", err)
	}
	return d.putBack(ctx, has)
}

func (d *driver) toPrimary(ctx context.Context, has details, want settings) error {
	content, err := d.transfer(ctx, has.Name)
	if err != nil {
		return err
	}
	if err := d.exchange(ctx, has.Name, want.text()); err == nil {
		now, err := d.transfer(ctx, has.Name)
		if err != nil {
			return err
		}
		if now.Serial() == content.Serial() && zone.Diff(content, now).Empty() {
			return nil
		}
		want = want.with("file", word{"restored-" + fileName(has.Name, ""), true})
	} else if !isResult(err, resultNoFile) {
		return err
	}

	// Transfer it once more, into the primary's file and in its format.
	ctx, cancel := context.WithTimeout(ctx, convertWait)
	defer cancel()
	file, format := want.word("file"), want.word("masterfile-format")
	if format == "" {
		format = "text"
	}
	secondary := has.set.with("file", word{file, true}).with("masterfile-format", word{text: format})
	for {
		if err := d.exchange(ctx, has.Name, secondary.text()); err != nil {
			return err
		}
		if err := d.waitFor(ctx, has.Name, content.Serial()); err != nil {
			return err
		}
		err := d.exchange(ctx, has.Name, want.text())
		if err == nil || !isResult(err, resultNoFile) { // not yet written
			return err
		}
	}
}

// exchange removes a zone if it is there, leaving its files, and adds it with
// another block.
func (d *driver) exchange(ctx context.Context, name zone.Name, block string) error {
	if err := d.remove(ctx, "delzone "+d.at(name), name); err != nil && !errors.Is(err, nameserver.ErrNoZone) {
		return err
	}
	return d.add(ctx, name, block)
}

// waitFor waits until a zone is loaded with a serial.
func (d *driver) waitFor(ctx context.Context, name zone.Name, serial zone.Serial) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		z, err := d.look(ctx, name)
		if err != nil {
			return err
		}
		if z.Serial != nil && *z.Serial == serial {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for its transfer: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
