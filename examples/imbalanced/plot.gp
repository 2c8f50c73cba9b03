# Draws FOLDER/imbalanced.svg from the summaries that the example `imbalanced` wrote: gnuplot -c plot.gp FOLDER
# One row of panels per data set, one panel per score of its rare classes; bars are means over the seeds, whiskers
# one standard deviation.
folder = ARG1
sets = "shuttle flchain_death1y"
scores = "recall precision PR-AUC"

set terminal svg size 1080,640 font "sans-serif,13" background "white"
set output folder."/imbalanced.svg"
set datafile separator tab
set style fill solid noborder
set boxwidth 0.8
set yrange [0:1.05]
set ytics 0.2 nomirror
set xrange [-0.7:8.7]
set xtics ("linear" 1.5, "mlp" 6.5) nomirror scale 0
set grid noxtics ytics back linetype 1 linewidth 0.5 linecolor "#cccccc"
set border 3
unset key

# Okabe and Ito's colours, told apart by colour-blind readers too; light: without class weights, dark: with them.
colour(i) = i == 0 ? 0x56b4e9 : i == 1 ? 0x0072b2 : i == 2 ? 0xe69f00 : 0xd55e00
array losses[4] = ["cross-entropy", "weighted cross-entropy", "focal", "weighted focal"]

# Eight lines a file: four losses of the linear model, then four of the net, set apart by one place.
place(i) = i < 4 ? i : i + 1

set multiplot layout words(sets),words(scores) margins 0.05,0.985,0.13,0.94 spacing 0.05,0.13
do for [i = 1:4] {
    set label i losses[i] at screen 0.08 + 0.23 * (i - 1),0.04 point pointtype 5 pointsize 1.5 \
        linecolor rgb colour(i - 1) offset 1.5,0
}
do for [s = 1:words(sets)] {
    name = word(sets, s)
    file = folder."/".name."-summary.tsv"
    do for [m = 1:words(scores)] {
        set title name.", rare classes: ".word(scores, m) noenhanced
        mean = 1 + 2 * m
        plot file skip 1 using (place($0)):mean:(colour(int($0) % 4)) with boxes linecolor rgb variable, \
             file skip 1 using (place($0)):(column(mean) - column(mean + 1)):(0):(2 * column(mean + 1)) \
                 with vectors nohead linewidth 1.5 linecolor rgb "black"
        unset for [i = 1:4] label i
    }
}
unset multiplot
