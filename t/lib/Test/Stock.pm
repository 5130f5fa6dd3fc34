package Test::Stock;

# One configuration for nginx-rtmp alone and with the module, for scripts that show what both do.

use strict;
use warnings;

use parent 'Exporter';

our @EXPORT_OK = qw(write_stock_and_nginx);

# Writes stock.conf, which loads nginx-rtmp alone and has none of the module's directives, and nginx.conf.
sub write_stock_and_nginx {
    my ($t, $content) = @_;
    my $stock = $content =~ s/^\s*stagedoor.*\n//mgr;
    $t->write_file_expand('stock.conf', "load_module %%RTMP_MODULE%%;\n$stock");
    $t->write_file_expand('nginx.conf', $content);
    return;
}

1;
