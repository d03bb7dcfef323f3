# One round of a farm guardian, by the rules of ZEVENET's, Relianoid's and Skudonet's.
# usage: perl farmguardian.pl CONFIGURATION NAME PRELOAD HOST,PORT,MARK…
# PRELOAD is the hook of L4xNAT farms, or empty. Prints "up" or "down" for each backend.
use strict;
use warnings;
use Config::Tiny;    # what they read farmguardian.conf with

my ( $file, $name, $preload, @backends ) = @ARGV;
my $guardian = Config::Tiny->read($file)->{$name} or die "no [$name] in $file\n";
my $timeout  = $guardian->{timeout} // $guardian->{interval};
open STDERR, '>', '/dev/null';    # a daemon's

local $SIG{ALRM} = sub { return };
$| = 1;
for my $backend (@backends) {
    my ( $host, $port, $mark ) = split /,/, $backend;
    my $command = $guardian->{command};
    $command =~ s/HOST/$host/g;
    $command =~ s/PORT/$port/g;
    $command = "/usr/lib/nagios/plugins/$command";
    $command = "MARK=$mark LD_PRELOAD=$preload $command" if $preload;

    alarm $timeout;
    my @output = `$command`;    # through sh only where Perl sees a need for one
    my $code   = $?;
    my $left   = alarm 0;
    print $left && $code == 0 ? "up\n" : "down\n";
}
