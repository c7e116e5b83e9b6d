#!/usr/bin/awk -f
# The Mandelbrot set, drawn with characters: a CGI program in awk, since any language will do.
# The query is what is shown: the point in the middle and the width, as in mandelbrot.awk?-0.5,0,3.2

BEGIN {
    columns = 64
    rows = 28
    steps = 200
    shades = " .,:;=+ox%#"

    query = ENVIRON["QUERY_STRING"]
    if (query == "")
        query = "-0.5,0,3.2"
    # A stranger's text: there is nothing in it but three numbers, or it is refused.
    number = "-?[0-9]+(\\.[0-9]+)?"
    if (length(query) > 80 || query !~ ("^" number "," number "," number "$"))
        refuse("three numbers are needed, as in ?-0.5,0,3.2")
    split(query, numbers, ",")
    x = numbers[1]
    y = numbers[2]
    width = numbers[3]
    if (x < -4 || x > 4 || y < -4 || y > 4 || width < 0.0000000001 || width > 8)
        refuse("there is nothing to be seen there")

    printf "20 text/gemini\r\n# The Mandelbrot set\n\n"
    print "```The Mandelbrot set around " (x + 0) ", " (y + 0) ", drawn with characters"
    pixel = width / columns
    for (row = 0; row < rows; row++) {
        line = ""
        for (column = 0; column < columns; column++)
            # Characters are twice as high as they are wide.
            line = line shade(x + (column - columns / 2) * pixel, y - (row - rows / 2) * 2 * pixel)
        print line
    }
    print "```"
    link("Closer", 0, 0, 0.5)
    link("Farther away", 0, 0, 2)
    link("Left", -0.25, 0, 1)
    link("Right", 0.25, 0, 1)
    link("Up", 0, 0.25, 1)
    link("Down", 0, -0.25, 1)
    print "=> mandelbrot.awk All of it"
    print "=> /examples.gmi All examples"
}

function refuse(reason) {
    printf "59 %s\r\n", reason
    exit
}

function shade(real, imaginary,    a, b, square, step) {
    for (step = 0; step < steps; step++) {
        if (a * a + b * b > 4)
            return substr(shades, 1 + step % length(shades), 1)
        square = a * a - b * b + real
        b = 2 * a * b + imaginary
        a = square
    }
    return "@"
}

function link(label, right, up, factor) {
    printf "=> ?%.12f,%.12f,%.12f %s\n", x + right * width, y + up * width, width * factor, label
}
