"""Facts summed into cells by hour and day: what pages, figures and reports stand on."""
