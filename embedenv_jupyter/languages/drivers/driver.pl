# Perl cells, each evaluated inside the scope of the one before it, so that "my" variables are kept.
# Nothing here is lexical: it would be seen by the cells.
package CellDriver;

use IO::Handle;

our ($cells, $answers, $number, $is_open) = (undef, undef, 0, 0);

open $cells, '<', $ENV{CELL_IN} or die "CELL_IN: $!";
open $answers, '>', $ENV{CELL_OUT} or die "CELL_OUT: $!";
$_->autoflush(1) for $answers, *STDOUT, *STDERR;
$SIG{INT} = sub { die "Interrupted\n" };
@ARGV = ();

# Returns the next cell as source that serves the cells after it from inside itself.
sub next_cell {
    my $path = readline $cells;
    return undef unless defined $path;
    chomp $path;
    open my $file, '<', $path or return "die 'no cell'";
    local $/;
    my $code = <$file>;
    ($number, $is_open) = ($number + 1, 1);
    return qq{#line 1 "cell$number"\n$code\n;CellDriver::done(''); }
      . 'while (defined(my $__cell = CellDriver::next_cell())) { eval $__cell; CellDriver::done($@) if $CellDriver::is_open; }';
}

sub done {
    my ($error) = @_;
    $is_open = 0;
    print STDERR $error if $error ne '';
    print {$answers} $error ne '' ? "error\n" : "ok\n";
}

print {$answers} "ready\n";

package main;

while (defined(my $__cell = CellDriver::next_cell())) { eval $__cell; CellDriver::done($@) if $CellDriver::is_open; }
